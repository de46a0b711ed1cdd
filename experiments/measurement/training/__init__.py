"""What studies of pretraining and fine-tuning share."""
