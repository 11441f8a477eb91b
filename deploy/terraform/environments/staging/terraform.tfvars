environment        = "staging"
account_id         = "000000000000"
region             = "eu-central-1"
cidr               = "10.20.0.0/16"
kubernetes_version = "1.33"
admins             = ["arn:aws:iam::000000000000:role/admin"]
api_allowed_cidrs  = ["192.0.2.0/24"]
node_groups = {
  base = { instance_types = ["m7i.large"], least = 2, most = 4 }
  jobs = { instance_types = ["m7i.large", "m6i.large", "m5.large"], least = 1, most = 4, spot = true }
}
postgresql = { instance_class = "db.t4g.medium", storage_gb = 20, backup_days = 3 }
redis      = { node_type = "cache.t4g.small", nodes = 1, snapshot_days = 0 }
protected  = false
