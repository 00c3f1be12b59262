package main

import (
	"log"
	"os"
	"path/filepath"
	"syscall"
)

// openVolumes gives every new directory under root to all users, as long as
// the process lives.
//
// The host path provisioner of the controller manager makes a volume's
// directory with mode 0750 and owner root, and the kubelet does not apply
// fsGroup to host path volumes: a pod that does not run as root could never
// write to its volume. The directory appears before the volume object does, so
// the change is made long before a pod can mount it.
func openVolumes(root string) {
	watch, err := syscall.InotifyInit1(syscall.IN_CLOEXEC)
	if err != nil {
		log.Fatalf("volumes: inotify: %v", err)
	}
	if _, err := syscall.InotifyAddWatch(watch, root, syscall.IN_CREATE|syscall.IN_MOVED_TO); err != nil {
		log.Fatalf("volumes: watch %s: %v", root, err)
	}
	open := func() {
		entries, err := os.ReadDir(root)
		if err != nil {
			log.Printf("volumes: %v", err)
			return
		}
		for _, entry := range entries {
			info, err := entry.Info()
			// A mode that a pod has set itself is left alone: only the
			// provisioner's own 0750 is widened.
			if err != nil || !entry.IsDir() || info.Mode().Perm() != 0o750 {
				continue
			}
			if err := os.Chmod(filepath.Join(root, entry.Name()), 0o777); err != nil {
				log.Printf("volumes: %v", err)
			}
		}
	}
	go func() {
		events := make([]byte, 16<<10)
		for {
			open()
			if _, err := syscall.Read(watch, events); err != nil && err != syscall.EINTR {
				log.Fatalf("volumes: %v", err)
			}
		}
	}()
}
