package main

// The part of Grafana's dashboard model that the boards use, as of schema 38
// (Grafana 10). Newer versions migrate it when they load it.

type board struct {
	UID           string     `json:"uid"`
	Title         string     `json:"title"`
	Tags          []string   `json:"tags"`
	SchemaVersion int        `json:"schemaVersion"`
	Version       int        `json:"version"`
	Editable      bool       `json:"editable"`
	Refresh       string     `json:"refresh"`
	Time          timeRange  `json:"time"`
	Templating    templating `json:"templating"`
	Panels        []panel    `json:"panels"`
}

type timeRange struct {
	From string `json:"from"`
	To   string `json:"to"`
}

type templating struct {
	List []variable `json:"list"`
}

// variable is what people choose at the top of a board.
type variable struct {
	Name       string      `json:"name"`
	Label      string      `json:"label"`
	Type       string      `json:"type"`
	Query      string      `json:"query"`
	Datasource *datasource `json:"datasource,omitempty"`
	Refresh    int         `json:"refresh,omitempty"` // 2: when the time range changes
	Multi      bool        `json:"multi,omitempty"`
	IncludeAll bool        `json:"includeAll,omitempty"`
	AllValue   string      `json:"allValue,omitempty"`
}

type datasource struct {
	Type string `json:"type"`
	UID  string `json:"uid"`
}

type panel struct {
	ID          int         `json:"id"`
	Type        string      `json:"type"`
	Title       string      `json:"title"`
	Description string      `json:"description,omitempty"`
	GridPos     gridPos     `json:"gridPos"`
	Datasource  datasource  `json:"datasource"`
	Targets     []target    `json:"targets"`
	FieldConfig fieldConfig `json:"fieldConfig"`
}

// gridPos is in cells; a board is 24 wide.
type gridPos struct {
	H int `json:"h"`
	W int `json:"w"`
	X int `json:"x"`
	Y int `json:"y"`
}

type target struct {
	RefID        string `json:"refId"`
	Expr         string `json:"expr"`
	LegendFormat string `json:"legendFormat,omitempty"`
	Format       string `json:"format,omitempty"`
	Instant      bool   `json:"instant,omitempty"`
}

type fieldConfig struct {
	Defaults  fieldDefaults `json:"defaults"`
	Overrides []struct{}    `json:"overrides"`
}

type fieldDefaults struct {
	Unit       string      `json:"unit"`
	Min        *float64    `json:"min,omitempty"`
	Thresholds *thresholds `json:"thresholds,omitempty"`
}

type thresholds struct {
	Mode  string `json:"mode"`
	Steps []step `json:"steps"`
}

type step struct {
	Color string   `json:"color"`
	Value *float64 `json:"value"` // nil: from below everything
}

// prometheus is the data source that people choose.
var prometheus = datasource{Type: "prometheus", UID: "${datasource}"}

// newBoard lays panels out from left to right and from top to bottom.
func newBoard(uid, title string, variables []variable, panels ...panel) board {
	b := board{
		UID: uid, Title: title, Tags: []string{"signalbox"}, SchemaVersion: 38, Version: 1, Refresh: "30s",
		Time: timeRange{"now-6h", "now"},
	}
	b.Templating.List = append([]variable{{Name: "datasource", Label: "Prometheus", Type: "datasource", Query: "prometheus"}}, variables...)
	x, y, height := 0, 0, 0
	for i, p := range panels {
		if x+p.GridPos.W > 24 {
			x, y, height = 0, y+height, 0
		}
		p.ID, p.GridPos.X, p.GridPos.Y = i+1, x, y
		x, height = x+p.GridPos.W, max(height, p.GridPos.H)
		b.Panels = append(b.Panels, p)
	}
	return b
}

// choice is a variable with the values that a label has on a metric.
func choice(name, label, metric string) variable {
	return variable{
		Name: name, Label: label, Type: "query", Query: "label_values(" + metric + ", " + name + ")", Datasource: &prometheus,
		Refresh: 2, Multi: true, IncludeAll: true, AllValue: ".*",
	}
}

// query is an expression and what its lines are called.
type query struct{ expr, legend string }

// graph shows expressions over time, from 0 on. unit is Grafana's name of it.
func graph(title, unit string, queries ...query) panel {
	zero := 0.0
	p := newPanel("timeseries", title, unit, 12, 8, queries)
	p.FieldConfig.Defaults.Min = &zero
	return p
}

// number shows the value of the moment, coloured from amber and from red on.
func number(title, unit, expr string, amber, red float64) panel {
	p := newPanel("stat", title, unit, 4, 4, []query{{expr: expr}})
	p.Targets[0].Instant = true
	p.FieldConfig.Defaults.Thresholds = &thresholds{"absolute", []step{{"green", nil}, {"orange", &amber}, {"red", &red}}}
	return p
}

// table shows one row for each series of the moment.
func table(title, expr string) panel {
	p := newPanel("table", title, "none", 24, 8, []query{{expr: expr}})
	p.Targets[0].Instant, p.Targets[0].Format = true, "table"
	return p
}

func newPanel(kind, title, unit string, width, height int, queries []query) panel {
	p := panel{Type: kind, Title: title, GridPos: gridPos{W: width, H: height}, Datasource: prometheus}
	p.FieldConfig.Defaults.Unit, p.FieldConfig.Overrides = unit, []struct{}{}
	for i, q := range queries {
		p.Targets = append(p.Targets, target{RefID: string(rune('A' + i)), Expr: q.expr, LegendFormat: q.legend})
	}
	return p
}
