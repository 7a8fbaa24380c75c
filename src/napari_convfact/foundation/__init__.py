"""Transforms, devices, the job protocol and input checks that everything else stands on."""
