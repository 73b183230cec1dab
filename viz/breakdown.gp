# SPDX-License-Identifier: MIT
# breakdown.gp: what the memory was at its peak, as stacked bars. Constant text: all numbers and labels are in *.tsv.
image = ARG1   # load clears the arguments
load 'page.gp'

top = 0; bottom = 0; right = 0; ymax = 0; ystep = 0
stats 'axes.tsv' using (top = column(1), bottom = column(2), right = column(3), ymax = column(4), \
                        ystep = column(5), 0) nooutput
unset key
set lmargin at screen 100.0 / width; set rmargin at screen right / width
set tmargin at screen 1 - top / height; set bmargin at screen 1 - bottom / height
set xrange [100:right]; set yrange [0:ymax]
set border 3 linecolor rgb '#5f6670' linewidth 1
unset xtics
set ytics nomirror ystep format '%g' out scale 0.5 textcolor rgb '#5f6670'
set grid ytics back linetype 1 linecolor rgb '#d9dde2' linewidth 0.8
plot 'bars.tsv' using 1:2:3:4:5:6:7 with boxxyerror fillstyle solid border linecolor rgb 'white' linewidth 1 \
     linecolor rgb variable

load 'canvas.gp'
set style textbox opaque noborder fillcolor rgb '#40ffffff' margins 0.6,0.4
plot 'boxes.tsv' using 1:2:3:4:5:6:7 with boxxyerror fillstyle solid noborder linecolor rgb variable, \
     'lines.tsv' using 1:2:3:4:5 with vectors nohead linewidth 1.2 linecolor rgb variable, \
     'text_title.tsv' using 1:2:words:5 with labels left font bold.',23' textcolor rgb variable, \
     'text_head.tsv' using 1:2:words:5 with labels left font bold.',15' textcolor rgb variable, \
     'text_left.tsv' using 1:2:words:5 with labels left textcolor rgb variable, \
     'text_right.tsv' using 1:2:words:5 with labels right textcolor rgb variable, \
     'text_center.tsv' using 1:2:words:5 with labels center textcolor rgb variable, \
     'text_small.tsv' using 1:2:words:5 with labels center font ',12' textcolor rgb variable, \
     'text_up.tsv' using 1:2:words:5 with labels center rotate by 90 textcolor rgb variable, \
     'text_down.tsv' using 1:2:words:5 with labels right rotate by 90 font ',12' textcolor rgb variable
unset multiplot
