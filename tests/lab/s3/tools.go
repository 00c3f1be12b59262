//go:build tools

// Package s3 pins the version of the Versity gateway, the S3 server of the
// lab's image of that name.
package s3

import _ "github.com/versity/versitygw/cmd/versitygw"
