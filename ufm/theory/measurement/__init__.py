"""What the metrics of collapse are at the shapes that the theory knows, in closed form."""
