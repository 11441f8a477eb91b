output "address" {
  description = "Its host name and port."
  value       = aws_db_instance.this.endpoint
}

output "secret_arn" {
  description = "The secret that has its user and password."
  value       = aws_db_instance.this.master_user_secret[0].secret_arn
}
