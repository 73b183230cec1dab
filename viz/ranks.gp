# SPDX-License-Identifier: MIT
# ranks.gp: what ranks did over time. Constant text: all positions and labels are in *.tsv beside it.
image = ARG1   # load clears the arguments
load 'page.gp'

load 'canvas.gp'
plot 'boxes.tsv' using 1:2:3:4:5:6:7 with boxxyerror fillstyle solid noborder linecolor rgb variable, \
     'lines.tsv' using 1:2:3:4:5 with vectors nohead linewidth 1 linecolor rgb variable, \
     'text_title.tsv' using 1:2:words:5 with labels left font bold.',23' textcolor rgb variable, \
     'text_head.tsv' using 1:2:words:5 with labels left font bold.',15' textcolor rgb variable, \
     'text_left.tsv' using 1:2:words:5 with labels left textcolor rgb variable, \
     'text_right.tsv' using 1:2:words:5 with labels right textcolor rgb variable, \
     'text_center.tsv' using 1:2:words:5 with labels center textcolor rgb variable, \
     'text_small.tsv' using 1:2:words:5 with labels center font ',12' textcolor rgb variable
unset multiplot
