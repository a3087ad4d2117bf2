"""The passwd, shadow, group and gshadow files as one database that is edited in memory. Pure."""
