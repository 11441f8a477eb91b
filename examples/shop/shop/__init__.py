"""An application that knows nothing of Sightglass."""
