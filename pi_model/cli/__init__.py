"""The `pi-model` command: one module a command or pair of commands, its arguments beside what runs."""
