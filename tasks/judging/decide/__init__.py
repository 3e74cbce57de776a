"""From the outcomes of the gates to one verdict. Pure."""
