"""What tests share: real servers, databases, topics, and the system's processes as children."""
