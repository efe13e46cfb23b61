"""Problems of one or two dimensions, small enough that the whole of a network's work is seen."""
