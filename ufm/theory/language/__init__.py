"""Next-token prediction: contexts whose labels are soft and live on supports, and what their ridge and its limit choose."""
