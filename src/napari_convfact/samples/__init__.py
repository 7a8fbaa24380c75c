"""Sample data: generated, or small and licensed."""
