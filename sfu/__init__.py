"""Media forwarding: publish and subscribe connections, slots, the compiled packet path. Never decodes."""
