"""Distillation: students under symmetric and general teachers, one head and two, and how their gradients agree."""
