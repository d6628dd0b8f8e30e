"""The proximity model of Tirer et al.: what one more layer does to features near collapse."""
