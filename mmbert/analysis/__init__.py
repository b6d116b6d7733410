"""What is measured on a trained model beside its metrics."""
