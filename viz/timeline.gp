# SPDX-License-Identifier: MIT
# timeline.gp: memory over time, one panel per device. Constant text: all numbers and labels are in *.tsv beside it.
image = ARG1   # load clears the arguments
load 'page.gp'

# Behind the curves: ranges, titles, legend.
load 'canvas.gp'
plot 'boxes.tsv' using 1:2:3:4:5:6:7 with boxxyerror fillstyle solid noborder linecolor rgb variable, \
     'lines.tsv' using 1:2:3:4:5 with vectors nohead linewidth 1.5 linecolor rgb variable, \
     'text_title.tsv' using 1:2:words:5 with labels left font bold.',23' textcolor rgb variable, \
     'text_head.tsv' using 1:2:words:5 with labels left font bold.',15' textcolor rgb variable, \
     'text_left.tsv' using 1:2:words:5 with labels left textcolor rgb variable, \
     'text_right.tsv' using 1:2:words:5 with labels right textcolor rgb variable, \
     'text_center.tsv' using 1:2:words:5 with labels center textcolor rgb variable, \
     'text_small.tsv' using 1:2:words:5 with labels center font ',12' textcolor rgb variable, \
     'text_up.tsv' using 1:2:words:5 with labels center rotate by 90 textcolor rgb variable

top = 0; bottom = 0; xmax = 0; xstep = 0; ymax = 0; ystep = 0; layers = 0
array color[32]
do for [i = 1:panels] {
    name(what) = sprintf('panel%d_%s.tsv', i, what)
    stats name('axes') using (top = column(1), bottom = column(2), xmax = column(3), xstep = column(4), \
                              ymax = column(5), ystep = column(6), layers = int(column(7)), 0) nooutput
    if (layers) { stats name('colors') using (color[int(column(0)) + 1] = int(column(1)), 0) nooutput }
    set lmargin at screen 100.0 / width; set rmargin at screen 1 - 36.0 / width
    set tmargin at screen 1 - top / height; set bmargin at screen 1 - bottom / height
    set xrange [0:xmax]; set yrange [0:ymax]
    set border 3 linecolor rgb '#5f6670' linewidth 1
    set tics nomirror out scale 0.5 textcolor rgb '#5f6670'
    set grid ytics back linetype 1 linecolor rgb '#d9dde2' linewidth 0.8
    set ytics nomirror ystep format '%g'
    if (i == panels) { set xtics nomirror xstep format '%g' } else { set xtics nomirror xstep format '' }
    if (layers) {
        # What is live but cannot be told apart just then stays in the colour of the area below the layers.
        plot name('used') index 1 using 1:2 with filledcurves closed fillstyle solid noborder linecolor rgb '#d05f6670', \
             name('used') index 0 using 1:2 with lines linecolor rgb '#8d959e' linewidth 1.4 dashtype (6,4), \
             name('held') index 0 using 1:3 with filledcurves y=0 fillstyle solid noborder linecolor rgb '#f4222222', \
             name('sub') index 0 using 1:3 with filledcurves y=0 fillstyle solid noborder linecolor rgb '#c3c9cf', \
             for [k = 1:layers] name('layers') index k - 1 using 1:2 with filledcurves y=0 fillstyle solid noborder \
                 linecolor rgb color[k], \
             name('held') index 0 using 1:2 with lines linecolor rgb '#222222' linewidth 1.6, \
             name('limits') using 1:2:3:4:5 with vectors nohead linewidth 1.6 linecolor rgb variable, \
             name('peaks') using 1:2:3 with points pointtype 7 pointsize dot linecolor rgb variable, \
             name('peaks') using 1:2 with points pointtype 6 pointsize dot linewidth 1.2 linecolor rgb 'white'
    } else {
        plot name('used') index 1 using 1:2 with filledcurves closed fillstyle solid noborder linecolor rgb '#b05f6670', \
             name('used') index 0 using 1:2 with lines linecolor rgb '#7a828c' linewidth 1.4, \
             name('held') index 1 using 1:2 with filledcurves closed fillstyle solid noborder linecolor rgb '#70e69f00', \
             name('held') index 0 using 1:2 with lines linecolor rgb '#d08700' linewidth 1.8, \
             name('sub') index 0 using 1:3 with filledcurves y=0 fillstyle solid noborder linecolor rgb '#c80072b2', \
             name('sub') index 1 using 1:2 with filledcurves closed fillstyle solid noborder linecolor rgb '#700072b2', \
             name('sub') index 0 using 1:2 with lines linecolor rgb '#00609c' linewidth 1.2, \
             name('limits') using 1:2:3:4:5 with vectors nohead linewidth 1.6 linecolor rgb variable, \
             name('peaks') using 1:2:3 with points pointtype 7 pointsize dot linecolor rgb variable, \
             name('peaks') using 1:2 with points pointtype 6 pointsize dot linewidth 1.2 linecolor rgb 'white'
    }
}

# Over the curves: what is said about single moments.
load 'canvas.gp'
set style textbox opaque noborder fillcolor rgb '#40ffffff' margins 0.6,0.4
plot 'note_left.tsv' using 1:2:words:5 with labels left boxed textcolor rgb variable, \
     'note_right.tsv' using 1:2:words:5 with labels right boxed textcolor rgb variable
unset multiplot
