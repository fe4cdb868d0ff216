#!/bin/sh
# The whole user space of the demo's guest. What it prints on the serial console is read by tests:
# GUEST-READY once it listens, then `GUEST-EV ACTION SUBSYSTEM NAME` for each uevent, GUEST-OFF on its way down.
/bin/busybox --install -s /bin
mount -t proc proc /proc
mount -t sysfs sysfs /sys
mount -t devtmpfs devtmpfs /dev 2>/dev/null
echo 1 > /proc/sys/kernel/printk

while read -r module; do
    insmod "/modules/$module" || echo "GUEST-FAILED insmod $module"
done < /modules/order

# ACPI's power button is an input device: the first event it has is the press.
for name in /sys/class/input/event*/device/name; do
    if [ "$(cat "$name")" = "Power Button" ]; then
        event=${name#/sys/class/input/}
        power-off-when-pressed "/dev/input/${event%%/*}" &
    fi
done
uevent /bin/print-uevent &

echo GUEST-READY
while :; do
    while read -r line; do
        eval "$line"
        echo "GUEST-DONE $?"
    done
    # Without a console to read from, PID 1 must not end.
    sleep 3600
done
