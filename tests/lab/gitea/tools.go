//go:build tools

// Package gitea pins the version of Gitea, the real forge of the lab.
package gitea

import _ "code.gitea.io/gitea"
