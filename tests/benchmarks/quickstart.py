"""Google's webhook quickstart for Python, with httplib2, as published."""

import os
from json import dumps

from httplib2 import Http


def main() -> None:
    """Google Chat incoming webhook quickstart."""
    url = os.environ["CHATPOST_URL"]
    app_message = {"text": "Hello from a Python script!"}
    message_headers = {"Content-Type": "application/json; charset=UTF-8"}
    http_obj = Http()
    response = http_obj.request(
        uri=url,
        method="POST",
        headers=message_headers,
        body=dumps(app_message),
    )
    print(response)


if __name__ == "__main__":
    main()
