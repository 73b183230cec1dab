# SPDX-License-Identifier: MIT
# canvas.gp: makes the whole page one plot whose coordinates are pixels from the upper left corner.
unset key; unset border; unset tics; unset grid; unset label; unset arrow
set lmargin at screen 0; set rmargin at screen 1
set bmargin at screen 0; set tmargin at screen 1
set xrange [0:width]; set yrange [height:0]
