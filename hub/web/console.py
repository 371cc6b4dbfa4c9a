from flask import Blueprint


def blueprint(hub):
    return Blueprint("console", __name__)
