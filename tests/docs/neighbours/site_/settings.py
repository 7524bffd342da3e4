"""Settings that need no database and no files."""

SECRET_KEY = "only for the documentation"
ALLOWED_HOSTS = ["*"]
ROOT_URLCONF = "site_.urls"
