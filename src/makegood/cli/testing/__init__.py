"""`makegood test`: finds scenario files, plays what is in them, and reports for people, programs and CI."""
