// Command informer is a client-go program as operators are written: a shared informer
// with a lister, an index and a work queue, and leader election by a Lease.
//
// It follows the ConfigMaps of a namespace, writes each one's size back as an
// annotation on a retry loop, and prints one line for each thing it hears.
// It ends when a ConfigMap named "end" is deleted.
package main

import (
	"context"
	"fmt"
	"os"
	"time"

	core "k8s.io/api/core/v1"
	meta "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/cache"
	"k8s.io/client-go/tools/clientcmd"
	"k8s.io/client-go/tools/leaderelection"
	"k8s.io/client-go/tools/leaderelection/resourcelock"
	"k8s.io/client-go/util/retry"
	"k8s.io/client-go/util/workqueue"
)

// annotation is what the worker writes.
const annotation = "informer/keys"

func main() {
	if len(os.Args) != 2 {
		fmt.Fprintln(os.Stderr, "usage: KUBECONFIG=FILE informer NAMESPACE")
		os.Exit(2)
	}
	if err := run(os.Args[1]); err != nil {
		fmt.Fprintln(os.Stderr, "informer:", err)
		os.Exit(1)
	}
}

func run(namespace string) error {
	config, err := clientcmd.BuildConfigFromFlags("", os.Getenv("KUBECONFIG"))
	if err != nil {
		return err
	}
	client, err := kubernetes.NewForConfig(config)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	defer cancel()
	done := make(chan error, 1)
	lock := &resourcelock.LeaseLock{
		LeaseMeta:  meta.ObjectMeta{Namespace: namespace, Name: "informer"},
		Client:     client.CoordinationV1(),
		LockConfig: resourcelock.ResourceLockConfig{Identity: "one"},
	}
	go leaderelection.RunOrDie(ctx, leaderelection.LeaderElectionConfig{
		Lock: lock, LeaseDuration: 15 * time.Second, RenewDeadline: 10 * time.Second,
		RetryPeriod: time.Second, ReleaseOnCancel: true,
		Callbacks: leaderelection.LeaderCallbacks{
			OnStartedLeading: func(ctx context.Context) {
				fmt.Println("leads")
				done <- follow(ctx, client, namespace)
			},
			OnStoppedLeading: func() {},
		},
	})
	select {
	case err := <-done:
		return err
	case <-ctx.Done():
		return ctx.Err()
	}
}

// follow runs the informer and the worker until "end" is deleted.
func follow(ctx context.Context, client kubernetes.Interface, namespace string) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	factory := informers.NewSharedInformerFactoryWithOptions(
		client, 0, informers.WithNamespace(namespace))
	maps := factory.Core().V1().ConfigMaps()
	queue := workqueue.NewTypedRateLimitingQueue(workqueue.DefaultTypedControllerRateLimiter[string]())
	defer queue.ShutDown()
	_, err := maps.Informer().AddEventHandler(cache.ResourceEventHandlerFuncs{
		AddFunc: func(o any) {
			fmt.Println("added", o.(*core.ConfigMap).Name)
			queue.Add(o.(*core.ConfigMap).Name)
		},
		UpdateFunc: func(_, o any) {
			fmt.Println("updated", o.(*core.ConfigMap).Name)
			queue.Add(o.(*core.ConfigMap).Name)
		},
		DeleteFunc: func(o any) {
			if found, ok := o.(*core.ConfigMap); ok {
				fmt.Println("deleted", found.Name)
				if found.Name == "end" {
					cancel()
				}
			}
		},
	})
	if err != nil {
		return err
	}
	factory.Start(ctx.Done())
	if !cache.WaitForCacheSync(ctx.Done(), maps.Informer().HasSynced) {
		return fmt.Errorf("the cache did not fill")
	}
	fmt.Println("synced")
	go func() {
		for {
			name, shutdown := queue.Get()
			if shutdown {
				return
			}
			if err := count(ctx, client, namespace, name); err != nil {
				fmt.Fprintln(os.Stderr, "informer:", err)
				queue.AddRateLimited(name)
			}
			queue.Done(name)
		}
	}()
	<-ctx.Done()
	return nil
}

// count writes how many keys a ConfigMap has, and tries again on a conflict.
func count(ctx context.Context, client kubernetes.Interface, namespace, name string) error {
	maps := client.CoreV1().ConfigMaps(namespace)
	return retry.RetryOnConflict(retry.DefaultRetry, func() error {
		found, err := maps.Get(ctx, name, meta.GetOptions{})
		if err != nil {
			return err
		}
		wanted := fmt.Sprint(len(found.Data))
		if found.Annotations[annotation] == wanted {
			return nil
		}
		if found.Annotations == nil {
			found.Annotations = map[string]string{}
		}
		found.Annotations[annotation] = wanted
		_, err = maps.Update(ctx, found, meta.UpdateOptions{})
		return err
	})
}
