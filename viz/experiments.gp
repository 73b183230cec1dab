# SPDX-License-Identifier: MIT
# experiments.gp: the figures of a folder of experiments. Constant text: all positions and labels are in *.tsv beside it.
image = ARG1   # load clears the arguments
load 'page.gp'

load 'canvas.gp'
set style textbox opaque noborder fillcolor rgb '#20ffffff' margins 0.6,0.4
plot 'fills.tsv' using 1:2 with filledcurves closed fillstyle solid noborder linecolor rgb '#d8e74c3c', \
     'lines.tsv' using 1:2:3:4:5 with vectors nohead linewidth 1 linecolor rgb variable, \
     'boxes.tsv' using 1:2:3:4:5:6:7 with boxxyerror fillstyle solid noborder linecolor rgb variable, \
     'dotted.tsv' using 1:2:3:4:5 with vectors nohead linewidth 1.4 dashtype (6,8) linecolor rgb variable, \
     'dashed.tsv' using 1:2 with lines linewidth 1.8 dashtype (14,9) linecolor rgb '#e74c3c', \
     'curves.tsv' using 1:2:3 with lines linewidth 2.2 linecolor rgb variable, \
     'points.tsv' using 1:2:3 with points pointtype 7 pointsize dot * 0.8 linecolor rgb variable, \
     'dots.tsv' using 1:2:3 with points pointtype 7 pointsize dot * 1.6 linecolor rgb variable, \
     'arrows.tsv' using 1:2:3:4:5 with vectors head filled size 7,20 fixed linewidth 1.8 linecolor rgb variable, \
     'text_title.tsv' using 1:2:words:5 with labels left font bold.',23' textcolor rgb variable, \
     'text_head.tsv' using 1:2:words:5 with labels left font bold.',15' textcolor rgb variable, \
     'text_left.tsv' using 1:2:words:5 with labels left textcolor rgb variable, \
     'text_right.tsv' using 1:2:words:5 with labels right textcolor rgb variable, \
     'text_center.tsv' using 1:2:words:5 with labels center textcolor rgb variable, \
     'text_small.tsv' using 1:2:words:5 with labels center font ',12' textcolor rgb variable, \
     'text_up.tsv' using 1:2:words:5 with labels center rotate by 90 textcolor rgb variable, \
     'note_left.tsv' using 1:2:words:5 with labels left boxed textcolor rgb variable
unset multiplot
