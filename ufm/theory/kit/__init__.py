"""Kit: what measurements of theorems are made with. It knows no theorem."""
