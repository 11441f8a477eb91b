"""The stack on Kubernetes, from one definition.

What a container is (image, command, environment, probes, limits, user, files) the Compose file says, and `composed`
reads it; what only a cluster has is said here, once. `python -m deploy` writes both forms of it: the Kustomize base and
its components, and the Helm chart, whose values are the same leaves with their defaults.
"""
