"""Seat usage: history, judgement, pictures. numpy is imported here and nowhere above (memory)."""
