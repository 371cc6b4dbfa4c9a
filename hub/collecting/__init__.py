"""Seat use is collected here: from the stream, the list of entitlements, the vendor's log of seats, and from files.

What the feeds bring is kept as seat events and as the most seats in use that the vendor told of; days are counted from
them again whenever something about them comes in. Nothing here says what the use means: that is `hub.usage`.
"""
