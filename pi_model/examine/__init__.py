"""Examining a checkpoint before it is extended: how far it reads, how far it could, by which method, at what cost.

`examination` goes from what is certain to what takes longer: `identity` and `certainty` need the config alone, `heads`
one short forward pass, and `measurement` text as long as the window that was asked for, within the minutes given. From
these `recommendation` and `cost` conclude what to do, and `summary` and `report` say it. All findings are frozen values
of `findings`.
"""
