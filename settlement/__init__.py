"""The settlement service: readings of meters become invoices."""
