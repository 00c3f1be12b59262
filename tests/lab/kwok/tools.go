//go:build tools

// Package kwok pins the version of kwok, which plays the node and its pods in
// a control plane that has no kubelet.
package kwok

import _ "sigs.k8s.io/kwok/cmd/kwok"
