#!/bin/sh
echo "GUEST-EV $ACTION $SUBSYSTEM ${DEVPATH##*/}"
