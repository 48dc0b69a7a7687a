"""The work behind the server: a supervised engine, a bounded queue, deadlines and faults."""
