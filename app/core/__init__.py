"""What any service needs: settings, database, errors, logs. Knows neither users nor tasks."""
