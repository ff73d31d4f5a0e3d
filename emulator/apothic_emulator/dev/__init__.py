"""`apothic dev`: the control plane of `apothic serve`, and a program that is deployed as saved."""
