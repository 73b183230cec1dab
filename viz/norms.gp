# SPDX-License-Identifier: MIT
# norms.gp: results of the norms benchmark over T. Constant text: all positions and labels are in *.tsv beside it.
image = ARG1   # load clears the arguments
load 'page.gp'

load 'canvas.gp'
plot 'boxes.tsv' using 1:2:3:4:5:6:7 with boxxyerror fillstyle solid noborder linecolor rgb variable, \
     'lines.tsv' using 1:2:3:4:5 with vectors nohead linewidth 1 linecolor rgb variable, \
     'broad.tsv' using 1:2:3 with lines linewidth 9 linecolor rgb variable, \
     'dashed.tsv' using 1:2:3 with lines linewidth 1.8 dashtype 2 linecolor rgb variable, \
     'curves.tsv' using 1:2:3 with lines linewidth 2.4 linecolor rgb variable, \
     'points.tsv' using 1:2:3 with points pointtype 7 pointsize dot * 0.8 linecolor rgb variable, \
     'text_title.tsv' using 1:2:words:5 with labels left font bold.',23' textcolor rgb variable, \
     'text_head.tsv' using 1:2:words:5 with labels left font bold.',15' textcolor rgb variable, \
     'text_left.tsv' using 1:2:words:5 with labels left textcolor rgb variable, \
     'text_right.tsv' using 1:2:words:5 with labels right textcolor rgb variable, \
     'text_center.tsv' using 1:2:words:5 with labels center textcolor rgb variable
unset multiplot
