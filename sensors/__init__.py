"""What starts work: jobs, schedules and the automation sensor."""
