"""The seeded world: scripted services, a virtual clock, crashes. Plays sagas without waiting for anything."""
