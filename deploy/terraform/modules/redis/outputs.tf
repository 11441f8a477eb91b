output "address" {
  description = "Its host name; the port is 6379, with TLS."
  value       = aws_elasticache_replication_group.this.primary_endpoint_address
}
