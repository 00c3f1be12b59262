// Command flux applies and deletes manifests with the engine of Flux, as its kustomize-controller does: the
// peer of tests/bench that waits by polling.
//
// usage: flux apply|diff|delete FILE INVENTORY
//
// FILE holds the manifests. INVENTORY remembers what was applied; the controller keeps that in the status of
// its Kustomization, here it is a file, which costs no request.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/fluxcd/cli-utils/pkg/kstatus/polling"
	"github.com/fluxcd/pkg/ssa"
	"github.com/fluxcd/pkg/ssa/utils"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/apiutil"
	"sigs.k8s.io/controller-runtime/pkg/log"
	"sigs.k8s.io/controller-runtime/pkg/log/zap"
)

const (
	controller = "kustomize-controller"
	group      = "kustomize.toolkit.fluxcd.io"
	// What the controller's own health check and garbage collection wait between two looks.
	interval = 5 * time.Second
	timeout  = 2 * time.Minute
)

func main() {
	log.SetLogger(zap.New())
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "flux:", err)
		os.Exit(1)
	}
}

func run(arguments []string) error {
	if len(arguments) != 3 {
		return errors.New("usage: flux apply|diff|delete FILE INVENTORY")
	}
	manager, err := connect()
	if err != nil {
		return err
	}
	switch arguments[0] {
	case "apply":
		return apply(manager, arguments[1], arguments[2])
	case "diff":
		return diff(manager, arguments[1])
	case "delete":
		return remove(manager, arguments[2])
	}
	return fmt.Errorf("unknown command %s", arguments[0])
}

// connect has a client and a mapper of its own, as the controller has for every reconciliation that runs as
// a service account of the tenant's. Nothing is throttled: the server's own flow control does that.
func connect() (*ssa.ResourceManager, error) {
	rules := clientcmd.NewDefaultClientConfigLoadingRules()
	config, err := clientcmd.NewNonInteractiveDeferredLoadingClientConfig(rules, nil).ClientConfig()
	if err != nil {
		return nil, err
	}
	config.QPS, config.Burst = -1, -1
	http, err := rest.HTTPClientFor(config)
	if err != nil {
		return nil, err
	}
	mapper, err := apiutil.NewDynamicRESTMapper(config, http)
	if err != nil {
		return nil, err
	}
	kube, err := client.New(config, client.Options{HTTPClient: http, Mapper: mapper})
	if err != nil {
		return nil, err
	}
	poller := polling.NewStatusPoller(kube, mapper, polling.Options{})
	manager := ssa.NewResourceManager(kube, poller, ssa.Owner{Field: controller, Group: group})
	// --concurrent-ssa
	manager.SetConcurrency(4)
	return manager, nil
}

func apply(manager *ssa.ResourceManager, file, inventory string) error {
	objects, err := read(file)
	if err != nil {
		return err
	}
	manager.SetOwnerLabels(objects, "bench", "flux-system")
	options := ssa.DefaultApplyOptions()
	options.Cleanup = ssa.ApplyCleanupOptions{
		Annotations: []string{"kubectl.kubernetes.io/last-applied-configuration"},
	}
	changes, err := manager.ApplyAllStaged(context.Background(), objects, options)
	if err != nil {
		return err
	}
	if err := write(inventory, objects); err != nil {
		return err
	}
	return manager.WaitForSet(changes.ToObjMetadataSet(), wait())
}

// diff prints a line for each object that differs and fails if there is one, as `flux diff kustomization` does.
func diff(manager *ssa.ResourceManager, file string) error {
	objects, err := read(file)
	if err != nil {
		return err
	}
	manager.SetOwnerLabels(objects, "bench", "flux-system")
	changed := 0
	for _, object := range objects {
		change, _, _, err := manager.Diff(context.Background(), object, ssa.DefaultDiffOptions())
		if err != nil {
			return err
		}
		if change.Action != ssa.UnchangedAction {
			fmt.Println(change)
			changed++
		}
	}
	if changed > 0 {
		return fmt.Errorf("%d objects differ", changed)
	}
	return nil
}

func remove(manager *ssa.ResourceManager, inventory string) error {
	objects, err := read(inventory)
	if err != nil {
		return err
	}
	options := ssa.DefaultDeleteOptions()
	options.Inclusions = manager.GetOwnerLabels("bench", "flux-system")
	options.Exclusions = map[string]string{group + "/prune": "disabled"}
	if _, err := manager.DeleteAll(context.Background(), objects, options); err != nil {
		return err
	}
	return manager.WaitForTermination(objects, wait())
}

func wait() ssa.WaitOptions {
	return ssa.WaitOptions{Interval: interval, Timeout: timeout, FailFast: true}
}

func read(path string) ([]*unstructured.Unstructured, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	return utils.ReadObjects(file)
}

// write keeps what identifies each object.
func write(path string, objects []*unstructured.Unstructured) error {
	kept := make([]*unstructured.Unstructured, 0, len(objects))
	for _, object := range objects {
		entry := &unstructured.Unstructured{}
		entry.SetGroupVersionKind(object.GroupVersionKind())
		entry.SetNamespace(object.GetNamespace())
		entry.SetName(object.GetName())
		kept = append(kept, entry)
	}
	text, err := utils.ObjectsToYAML(kept)
	if err != nil {
		return err
	}
	return os.WriteFile(path, []byte(text), 0o600)
}
