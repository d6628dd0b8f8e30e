"""What optimisers choose without a ridge: cross-entropy to infinity, large steps and perceptrons, Lion in its box."""
