"""Mail that programs send through `chatpost sendmail`."""
