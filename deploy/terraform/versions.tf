terraform {
  required_version = ">= 1.10"
  required_providers {
    aws = {
      source  = "hashicorp/aws"
      version = "~> 6.25"
    }
  }

  # Where the state is, environments/*/state.config says.
  backend "s3" {
    encrypt      = true
    use_lockfile = true
  }
}

provider "aws" {
  region              = var.region
  allowed_account_ids = [var.account_id] # one environment's values change nothing of another's account

  default_tags {
    tags = merge({ Application = "sightglass", Environment = var.environment, ManagedBy = "opentofu" }, var.tags)
  }
}
