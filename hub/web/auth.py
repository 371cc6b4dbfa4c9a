def install(app, hub):
    pass
