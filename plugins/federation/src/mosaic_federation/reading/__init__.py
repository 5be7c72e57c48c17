"""Reading from peers: what was answered is kept, who is away is left alone, and all are asked at once."""
