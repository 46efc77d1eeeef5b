"""Read-only SQL for people: a closed engine in a process of its own, the gate for predicates, and exports."""
