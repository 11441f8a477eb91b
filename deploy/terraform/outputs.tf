output "cluster" {
  description = "The cluster's name: aws eks update-kubeconfig --name …"
  value       = module.kubernetes.name
}

output "endpoint" {
  description = "Address of the cluster's API."
  value       = module.kubernetes.endpoint
}

output "postgresql" {
  description = "Where the database is, and the secret that has its user and password."
  value       = { for database in module.postgresql : "postgresql" => { address = database.address, secret_arn = database.secret_arn } }
}

output "redis" {
  description = "Where the queue is."
  value       = { for queue in module.redis : "redis" => queue.address }
}
