"""A real Kubernetes on this machine, without a registry of images: `python3 -m scripts.cluster up|down|parts`.

etcd, API server, controllers, scheduler, kubelet, containerd, CNI, kube-proxy and CoreDNS as they are released, in a
network namespace of their own, of which nothing is left afterwards.

Standard library only: it runs before anything is installed.
"""
